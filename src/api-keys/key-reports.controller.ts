import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CallOrigin, Public } from '../access/decorators';
import type { Origin } from '../core/origin';
import { RateLimited } from '../rate-limit/rate-limited.decorator';
import { ApiSuccess } from '../openapi/api-success.decorator';
import { ReportKeyRequest, ReportReceipt } from './api-keys.dto';
import { KeyReports } from './key-reports';

@ApiTags('API keys')
@Controller('auth/keys/report')
export class KeyReportsController {
  constructor(private readonly reports: KeyReports) {}

  /**
   * Report a key that you found
   *
   * @remarks For whoever finds a key where it should not be: in a repository, a log, a chat. If it is one of this service it
   * stops working at once, and its owner is told why. The answer is the same for every text, so it tells nobody anything.
   */
  @ApiSuccess('The report was taken. It does not say whether there is such a key.')
  @Post()
  @HttpCode(202)
  @Public()
  @RateLimited('key-report')
  async reportApiKey(
    @Body() { apiKey }: ReportKeyRequest,
    @CallOrigin() origin: Origin,
  ): Promise<ReportReceipt> {
    await this.reports.report(apiKey, origin);
    return { message: 'If this is a key of ours, it no longer works' };
  }
}
