import { Global, Module } from '@nestjs/common';
import { RevocationChannel } from './revocation-channel';
import { RevocationCleanup } from './revocation-cleanup';
import { RevocationFeed } from './revocation-feed';

@Global()
@Module({ providers: [RevocationFeed, RevocationChannel, RevocationCleanup], exports: [RevocationFeed] })
export class RevocationModule {}
