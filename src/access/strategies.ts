import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Strategy, StrategyCreatedStatic } from 'passport';

/** By these names the guard asks for them. */
export const SESSION_STRATEGY = 'session-token';
export const API_KEY_STRATEGY = 'api-key';

type StrategyName = typeof SESSION_STRATEGY | typeof API_KEY_STRATEGY;

/**
 * Runs Passport's strategies, in place of Passport's middleware: what that makes for each request, the engine may take for
 * long-lived, and the request stays in memory with it (ADR 17).
 */
@Injectable()
export class Strategies {
  private readonly strategies = new Map<StrategyName, Strategy>();

  /** Called by each strategy when it is made. */
  add(name: StrategyName, strategy: Strategy): void {
    this.strategies.set(name, strategy);
  }

  /**
   * Has a strategy look at a request. Passport's contract: on an object of its own for each request, which it inherits from, the
   * strategy calls what came out. Of what a strategy may call, ours neither redirect nor pass.
   *
   * @returns whom or what it lets in; undefined where it lets in nobody
   * @throws whatever it hands on as trouble
   */
  run(name: StrategyName, request: FastifyRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const strategy = this.strategies.get(name);
      if (!strategy) throw new Error(`No strategy is called ${name}`);
      const outcomes: Pick<StrategyCreatedStatic, 'success' | 'fail' | 'error'> = {
        success: resolve,
        fail: () => resolve(undefined),
        error: reject,
      };
      const own = Object.assign(Object.create(strategy) as Strategy, outcomes);
      own.authenticate.call(own as never, request as never);
    });
  }
}
