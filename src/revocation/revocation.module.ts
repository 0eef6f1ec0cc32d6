import { Global, Module } from '@nestjs/common';
import { ClockKeeper } from './clock-keeper';
import { RevocationAnnouncer } from './revocation-announcer';
import { RevocationChannel } from './revocation-channel';
import { RevocationCleanup } from './revocation-cleanup';
import { RevocationFeed } from './revocation-feed';

@Global()
@Module({
  providers: [RevocationFeed, RevocationAnnouncer, RevocationChannel, RevocationCleanup, ClockKeeper],
  exports: [RevocationFeed, RevocationAnnouncer, ClockKeeper],
})
export class RevocationModule {}
