import { Injectable, OnModuleInit } from '@nestjs/common';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Pool } from 'pg';
import { User } from './tokens';

export interface Message {
  id: string;
  roomId: string;
  seq: number;
  sender: User;
  content: string;
  createdAt: Date;
  type: string;
}

interface Row {
  id: string;
  room_id: string;
  seq: string; // pg hands a bigint over as text
  sender_id: string;
  sender_name: string;
  content: string;
  type: string;
  created_at: Date;
}

const messageOf = (row: Row): Message => ({
  id: row.id,
  roomId: row.room_id,
  seq: Number(row.seq),
  sender: { id: row.sender_id, name: row.sender_name },
  content: row.content,
  createdAt: row.created_at,
  type: row.type,
});

@Injectable()
export class MessageStore implements OnModuleInit {
  // idleTimeoutMillis 0: connections stay open, so that no burst waits for new ones.
  private readonly pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 16, idleTimeoutMillis: 0 });

  async onModuleInit() {
    this.pool.on('error', (error) => console.error('an idle Postgres connection broke:', error.message));
    await this.pool.query(readFileSync(join(__dirname, '../../schema.sql'), 'utf8'));
  }

  async join(roomId: string, userId: string): Promise<void> {
    await this.pool.query('INSERT INTO bench_members (room_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING', [roomId, userId]);
  }

  async store(roomId: string, sender: User, content: string): Promise<Message> {
    const { rows } = await this.pool.query<Row>(
      'INSERT INTO bench_messages (room_id, sender_id, sender_name, content) VALUES ($1, $2, $3, $4) RETURNING *',
      [roomId, sender.id, sender.name, content],
    );
    return messageOf(rows[0]);
  }

  /** The newest `limit` messages older than `before`, ascending; nothing for those who are not in the room. */
  async page(roomId: string, userId: string, before: number, limit: number) {
    const { rows } = await this.pool.query<Row>(
      `SELECT * FROM bench_messages
        WHERE room_id = $1 AND seq < $2 AND EXISTS (SELECT FROM bench_members WHERE room_id = $1 AND user_id = $3)
        ORDER BY seq DESC LIMIT $4`,
      [roomId, before, userId, limit + 1],
    );
    const hasOlder = rows.length > limit;
    const messages = rows.slice(0, limit).reverse().map(messageOf);
    return { messages, page: { oldestSeq: messages[0]?.seq ?? null, newestSeq: messages.at(-1)?.seq ?? null, hasOlder } };
  }
}
