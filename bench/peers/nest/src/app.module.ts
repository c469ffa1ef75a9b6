import { Module } from '@nestjs/common';
import { JwtModule } from '@nestjs/jwt';
import { ChatGateway } from './chat.gateway';
import { HistoryController } from './history.controller';
import { MessageStore } from './message.store';
import { Tokens } from './tokens';

@Module({
  imports: [JwtModule.register({ secret: process.env.JWT_SECRET, verifyOptions: { algorithms: ['HS256'] } })],
  controllers: [HistoryController],
  providers: [ChatGateway, MessageStore, Tokens],
})
export class AppModule {}
