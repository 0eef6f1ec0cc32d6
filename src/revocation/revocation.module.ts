import { Global, Module } from '@nestjs/common';
import { ClockKeeper } from './clock-keeper';
import { RevocationChannel } from './revocation-channel';
import { RevocationCleanup } from './revocation-cleanup';
import { RevocationFeed } from './revocation-feed';

@Global()
@Module({
  providers: [RevocationFeed, RevocationChannel, RevocationCleanup, ClockKeeper],
  exports: [RevocationFeed, ClockKeeper],
})
export class RevocationModule {}
