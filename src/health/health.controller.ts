import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Public } from '../access/decorators';
import { ProxyWatch } from '../access/proxy-watch';
import { Transactions } from '../database/transactions';
import { ApiErrors } from '../openapi/api-errors.decorator';
import { HealthReport, ReadinessReport } from './health.dto';

@ApiTags('Health')
@Controller('health')
@Public()
export class HealthController {
  constructor(
    private readonly transactions: Transactions,
    private readonly proxies: ProxyWatch,
  ) {}

  /**
   * Is the process alive?
   *
   * @remarks Touches nothing outside the process. If it fails, restart the process.
   */
  @Get('live')
  @ApiErrors('bad_request')
  live(): HealthReport {
    return { status: 'ok' };
  }

  /**
   * Can it serve requests?
   *
   * @remarks Asks the database. If it fails, send requests elsewhere until it succeeds again. `warnings` name settings that
   * look wrong; they are for the operator and change nothing of the answer's meaning.
   */
  @Get('ready')
  @ApiErrors('bad_request')
  async ready(): Promise<ReadinessReport> {
    await this.transactions.read((tx) => tx.query('SELECT 1'));
    const { warnings } = this.proxies;
    return { status: 'ok', ...(warnings.length > 0 && { warnings }) };
  }
}
