import { BadRequestException, Controller, Get, Headers, Param, Query, UnauthorizedException } from '@nestjs/common';
import { MessageStore } from './message.store';
import { Tokens, User } from './tokens';

@Controller()
export class HistoryController {
  constructor(
    private readonly messages: MessageStore,
    private readonly tokens: Tokens,
  ) {}

  @Get('readyz')
  ready() {
    return { status: 'ready' };
  }

  @Get('api/v1/rooms/:room/messages')
  page(
    @Headers('authorization') authorization = '',
    @Param('room') room: string,
    @Query('before') before = String(Number.MAX_SAFE_INTEGER),
    @Query('limit') limit = '50',
  ) {
    let user: User;
    try {
      user = this.tokens.userOf(authorization.replace(/^Bearer /, ''));
    } catch {
      throw new UnauthorizedException();
    }
    if (!Number.isSafeInteger(Number(before))) throw new BadRequestException('before must be a number');
    if (!Number.isInteger(Number(limit)) || Number(limit) < 1 || Number(limit) > 100) throw new BadRequestException('limit must be 1 to 100');
    return this.messages.page(room, user.id, Number(before), Number(limit));
  }
}
