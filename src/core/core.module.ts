import { type DynamicModule, Module } from '@nestjs/common';
import { Clock } from './clock';
import { Failpoints } from './failpoints';
import { Ids } from './ids';
import { LOG, type Log } from './log';
import { Metrics } from './metrics';
import { Random } from './random';
import { Tracing } from './tracing';

/** What everything else stands on. */
export interface CoreParts {
  log: Log;
  clock: Clock;
  random: Random;
  ids: Ids;
  failpoints: Failpoints;
  metrics: Metrics;
  tracing: Tracing;
}

@Module({})
export class CoreModule {
  static forRoot({ log, clock, random, ids, failpoints, metrics, tracing }: CoreParts): DynamicModule {
    return {
      module: CoreModule,
      global: true,
      providers: [
        { provide: LOG, useValue: log },
        { provide: Clock, useValue: clock },
        { provide: Random, useValue: random },
        { provide: Ids, useValue: ids },
        { provide: Failpoints, useValue: failpoints },
        { provide: Metrics, useValue: metrics },
        { provide: Tracing, useValue: tracing },
      ],
      exports: [LOG, Clock, Random, Ids, Failpoints, Metrics, Tracing],
    };
  }
}
