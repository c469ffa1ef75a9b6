import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module';

async function main() {
  const app = await NestFactory.create<NestExpressApplication>(AppModule, { logger: ['error', 'warn'] });
  app.disable('x-powered-by').disable('etag');
  app.getHttpServer().keepAliveTimeout = 65_000;
  const { PORT = '3000', HOST = '127.0.0.1' } = process.env;
  await app.listen(Number(PORT), HOST);
  console.log(`listening on http://${HOST}:${PORT}`);
}

void main();
