import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Public } from '../access/decorators';
import { Transactions } from '../database/transactions';
import { ApiErrors } from '../openapi/api-errors.decorator';
import { HealthReport } from './health.dto';

@ApiTags('Health')
@Controller('health')
@Public()
export class HealthController {
  constructor(private readonly transactions: Transactions) {}

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
   * @remarks Asks the database. If it fails, send requests elsewhere until it succeeds again.
   */
  @Get('ready')
  @ApiErrors('bad_request')
  async ready(): Promise<HealthReport> {
    await this.transactions.read((tx) => tx.query('SELECT 1'));
    return { status: 'ok' };
  }
}
