import { Global, Module } from '@nestjs/common';
import { RevocationFeed } from './revocation-feed';

@Global()
@Module({ providers: [RevocationFeed], exports: [RevocationFeed] })
export class RevocationModule {}
