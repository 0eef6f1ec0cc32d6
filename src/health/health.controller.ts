import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Public } from '../access/decorators';
import { ProxyWatch } from '../access/proxy-watch';
import { ApiErrors } from '../openapi/api-errors.decorator';
import { ApiSuccess } from '../openapi/api-success.decorator';
import { HealthReport, ReadinessReport } from './health.dto';
import { Readiness } from './readiness';

@ApiTags('Health')
@Controller('health')
@Public()
export class HealthController {
  constructor(
    private readonly readiness: Readiness,
    private readonly proxies: ProxyWatch,
  ) {}

  /**
   * Is the process alive?
   *
   * @remarks Touches nothing outside the process. If it fails, restart the process.
   */
  @ApiSuccess('The process is alive.')
  @Get('live')
  @ApiErrors('bad_request')
  live(): HealthReport {
    return { status: 'ok' };
  }

  /**
   * Can it serve requests?
   *
   * @remarks Looks at the database, its schema, the revocation feed, the clock, and whether the service is stopping. If it fails,
   * `X-Error-Code` says which; send requests elsewhere until it succeeds again. `warnings` name settings that look wrong;
   * they are for the operator and change nothing of the answer's meaning.
   */
  @ApiSuccess('It can serve requests.')
  @Get('ready')
  @ApiErrors(
    'bad_request',
    'draining',
    'database_unreachable',
    'migrations_pending',
    'database_read_only',
    'revocation_feed_stale',
    'clock_astray',
  )
  async ready(): Promise<ReadinessReport> {
    await this.readiness.check();
    const { warnings } = this.proxies;
    return { status: 'ok', ...(warnings.length > 0 && { warnings }) };
  }
}
