import { Module } from '@nestjs/common';
import { ApiKeyVerifier } from './api-key-verifier';
import { ApiKeyStrategy } from './api-key.strategy';
import { ApiKeysController } from './api-keys.controller';
import { ApiKeysService } from './api-keys.service';
import { KeyChanges } from './key-changes';
import { KeyReports } from './key-reports';
import { KeyReportsController } from './key-reports.controller';
import { KeyRotation } from './key-rotation';
import { OperatorKeys } from './operator-keys';
import { KeyUsage, SecretUsage } from './key-usage';

@Module({
  controllers: [KeyReportsController, ApiKeysController],
  providers: [
    ApiKeysService,
    ApiKeyStrategy,
    ApiKeyVerifier,
    KeyChanges,
    KeyReports,
    KeyRotation,
    KeyUsage,
    OperatorKeys,
    SecretUsage,
  ],
  exports: [ApiKeysService, ApiKeyVerifier],
})
export class ApiKeysModule {}
