import { Injectable } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';

export interface User {
  id: string;
  name: string;
}

@Injectable()
export class Tokens {
  constructor(private readonly jwt: JwtService) {}

  userOf(token: string): User {
    const { sub, name } = this.jwt.verify<{ sub?: string; name?: string }>(token);
    if (!sub) throw new Error('the token names nobody');
    return { id: sub, name: name ?? sub };
  }
}
