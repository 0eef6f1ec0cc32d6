import { type DynamicModule, Module } from '@nestjs/common';
import { Clock } from './clock';
import { Failpoints } from './failpoints';
import { Ids } from './ids';
import { LOG, type Log } from './log';
import { Random } from './random';

/** What everything else stands on. */
export interface CoreParts {
  log: Log;
  clock: Clock;
  random: Random;
  ids: Ids;
  failpoints: Failpoints;
}

@Module({})
export class CoreModule {
  static forRoot({ log, clock, random, ids, failpoints }: CoreParts): DynamicModule {
    return {
      module: CoreModule,
      global: true,
      providers: [
        { provide: LOG, useValue: log },
        { provide: Clock, useValue: clock },
        { provide: Random, useValue: random },
        { provide: Ids, useValue: ids },
        { provide: Failpoints, useValue: failpoints },
      ],
      exports: [LOG, Clock, Random, Ids, Failpoints],
    };
  }
}
