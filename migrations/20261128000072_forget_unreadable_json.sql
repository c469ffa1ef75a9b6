-- JSON that nests deeper than it is read here, or that has the name which its reader keeps for itself, was taken in before it was refused.
-- It cannot be shown, and nor could anything else in its room, nor the lists of those who are in it. What is left of the messages can.
UPDATE messages
SET metadata = NULL
WHERE metadata @? 'strict $.**{127 to last}' OR metadata @? 'strict $.** ? (exists (@."$serde_json::private::RawValue"))';

UPDATE messages
SET attachments = NULL
WHERE attachments @? 'strict $.**{127 to last}' OR attachments @? 'strict $.** ? (exists (@."$serde_json::private::RawValue"))';

DELETE FROM reactions WHERE emoji = '$serde_json::private::RawValue';

UPDATE messages
SET reactions = NULLIF(reactions - '$serde_json::private::RawValue', '{}')
WHERE reactions ? '$serde_json::private::RawValue';
