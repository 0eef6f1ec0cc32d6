import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Strategy, StrategyCreatedStatic } from 'passport';

/** Names of the strategies that there are. */
export const SESSION_STRATEGY = 'session-token';
export const API_KEY_STRATEGY = 'api-key';

/**
 * The strategies of Passport that look at credentials. They are run here and not by Passport's middleware: of what that makes for each
 * request, the engine may come to believe that it lives long, and the request is kept with it (ADR 17).
 */
@Injectable()
export class Strategies {
  private readonly strategies = new Map<string, Strategy>();

  /** A strategy says by itself that it is there, when it is made. */
  add(name: string, strategy: Strategy): void {
    this.strategies.set(name, strategy);
  }

  /**
   * Has a strategy look at a request. Passport's contract: on an object of its own for each request, which it inherits from, the
   * strategy calls what came out. Of what a strategy may call, ours neither redirect nor pass.
   *
   * @returns whom or what it lets in; undefined where it lets in nobody
   * @throws whatever it hands on as trouble
   */
  run(name: string, request: FastifyRequest): Promise<unknown> {
    const strategy = this.strategies.get(name);
    return new Promise((resolve, reject) => {
      const outcomes: Pick<StrategyCreatedStatic, 'success' | 'fail' | 'error'> = {
        success: resolve,
        fail: () => resolve(undefined),
        error: reject,
      };
      const own = Object.assign(Object.create(strategy as object) as Strategy, outcomes);
      own.authenticate.call(own as never, request as never);
    });
  }
}
