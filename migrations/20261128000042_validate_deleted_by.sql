-- Reads all messages, while everybody goes on.
ALTER TABLE messages VALIDATE CONSTRAINT messages_deleted_by_check;
