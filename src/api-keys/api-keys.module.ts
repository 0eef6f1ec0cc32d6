import { Module } from '@nestjs/common';
import { ApiKeyVerifier } from './api-key-verifier';
import { ApiKeyStrategy } from './api-key.strategy';
import { ApiKeysController } from './api-keys.controller';
import { ApiKeysService } from './api-keys.service';
import { KeyUsage } from './key-usage';

@Module({
  controllers: [ApiKeysController],
  providers: [ApiKeysService, ApiKeyVerifier, ApiKeyStrategy, KeyUsage],
  exports: [ApiKeysService],
})
export class ApiKeysModule {}
