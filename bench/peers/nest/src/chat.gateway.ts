import { ArgumentsHost, Catch, UseFilters, WsExceptionFilter } from '@nestjs/common';
import {
  ConnectedSocket,
  MessageBody,
  OnGatewayConnection,
  SubscribeMessage,
  WebSocketGateway,
  WebSocketServer,
  WsException,
} from '@nestjs/websockets';
import { Namespace, Socket } from 'socket.io';
import { MessageStore } from './message.store';
import { Tokens, User } from './tokens';

const refusal = (code: string, message: string) => new WsException({ code, message });

/** Errors arrive as `system:error`, and in the ack if there is one. */
@Catch()
class ErrorsToClient implements WsExceptionFilter {
  catch(exception: unknown, host: ArgumentsHost) {
    const known = exception instanceof WsException;
    if (!known) console.error(exception);
    const error = known ? exception.getError() : { code: 'INTERNAL_ERROR', message: 'try again' };
    host.switchToWs().getClient<Socket>().emit('system:error', error);
    const ack = host.getArgs().find((argument) => typeof argument === 'function');
    ack?.({ ok: false, error });
  }
}

// Postgres cannot store a NUL.
const isText = (value: unknown, max: number): value is string =>
  typeof value === 'string' && value.length >= 1 && value.length <= max && !value.includes('\0');

/** The seed's gateway, with the values of its `defaultWebSocketConfig`. */
@WebSocketGateway({
  namespace: 'chat',
  cors: { origin: process.env.FRONTEND_URL || 'http://localhost:3000', credentials: true },
  transports: ['websocket', 'polling'],
  pingTimeout: 60000,
  pingInterval: 25000,
  upgradeTimeout: 10000,
  maxHttpBufferSize: 1e6,
})
@UseFilters(ErrorsToClient)
export class ChatGateway implements OnGatewayConnection {
  @WebSocketServer()
  private readonly chat!: Namespace;

  /** User id → number of open sockets. */
  private readonly live = new Map<string, number>();

  constructor(
    private readonly messages: MessageStore,
    private readonly tokens: Tokens,
  ) {}

  handleConnection(socket: Socket) {
    try {
      socket.data.user = this.tokens.userOf(socket.handshake.auth.token);
    } catch (error) {
      socket.emit('system:error', { code: 'AUTH_TOKEN_INVALID', message: (error as Error).message });
      socket.disconnect(true);
      return;
    }
    const { id } = socket.data.user as User;
    this.live.set(id, (this.live.get(id) ?? 0) + 1);
    // A new socket is in no room yet, so that there is nobody to tell; the last one's end is told while it still is in its rooms.
    socket.on('disconnecting', () => {
      const others = this.live.get(id)! - 1;
      if (others) {
        this.live.set(id, others);
      } else {
        this.live.delete(id);
        this.tellPresence(socket, false);
      }
    });
  }

  @SubscribeMessage('chat:room:join')
  async join(@ConnectedSocket() socket: Socket, @MessageBody() payload: string | { roomId?: unknown }) {
    const roomId = typeof payload === 'string' ? payload : payload?.roomId;
    if (!isText(roomId, 128)) throw refusal('VALIDATION_ERROR', 'roomId is missing');
    await this.messages.join(roomId, socket.data.user.id);
    await socket.join(roomId);
    return { ok: true, data: { roomId } };
  }

  @SubscribeMessage('chat:message')
  async message(@ConnectedSocket() socket: Socket, @MessageBody() payload: { roomId?: unknown; content?: unknown }) {
    const roomId = this.roomOf(socket, payload);
    if (!isText(payload.content, 4000)) throw refusal('VALIDATION_ERROR', 'content must be a string of 1 to 4000 characters');
    const message = await this.messages.store(roomId, socket.data.user, payload.content);
    this.chat.to(roomId).emit('chat:message', message);
    return { ok: true, data: message };
  }

  @SubscribeMessage('status:typing')
  typing(@ConnectedSocket() socket: Socket, @MessageBody() payload: { roomId?: unknown; isTyping?: unknown }) {
    const roomId = this.roomOf(socket, payload);
    const user: User = socket.data.user;
    socket.to(roomId).volatile.emit('status:typing', { roomId, userId: user.id, user, isTyping: payload.isTyping === true });
    return { ok: true, data: {} };
  }

  @SubscribeMessage('status:update')
  status(@ConnectedSocket() socket: Socket, @MessageBody() payload: { isOnline?: unknown }) {
    this.tellPresence(socket, payload?.isOnline === true);
    return { ok: true, data: {} };
  }

  private roomOf(socket: Socket, payload: { roomId?: unknown }): string {
    const roomId = payload?.roomId;
    if (!isText(roomId, 128)) throw refusal('VALIDATION_ERROR', 'roomId is missing');
    if (!socket.rooms.has(roomId)) throw refusal('NOT_A_MEMBER', 'join the room first');
    return roomId;
  }

  /** To those who share a room, but not in rooms of more than 200, as ires-chat does. */
  private tellPresence(socket: Socket, isOnline: boolean) {
    const rooms = [...socket.rooms].filter((room) => room !== socket.id && this.chat.adapter.rooms.get(room)!.size <= 200);
    if (rooms.length) socket.to(rooms).emit(isOnline ? 'status:online' : 'status:offline', { userId: socket.data.user.id, isOnline });
  }
}
