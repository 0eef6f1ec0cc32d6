import { Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import { HeaderAPIKeyStrategy } from 'passport-headerapikey';
import { API_KEY_HEADER, type ApiKeyCredential } from '../access/access.guard';
import { API_KEY_STRATEGY, Strategies } from '../access/strategies';
import { ApiKeyVerifier } from './api-key-verifier';

/** Takes the key out of `X-API-Key`. */
@Injectable()
export class ApiKeyStrategy extends PassportStrategy(HeaderAPIKeyStrategy, API_KEY_STRATEGY) {
  constructor(
    private readonly verifier: ApiKeyVerifier,
    strategies: Strategies,
  ) {
    super({ header: API_KEY_HEADER, prefix: '' }, false);
    strategies.add(API_KEY_STRATEGY, this);
  }

  /** Passport's contract: lets in, fails, or hands on trouble of ours. A key that was seen lately is not looked for again. */
  override authenticate(
    request: Parameters<HeaderAPIKeyStrategy['authenticate']>[0],
    options?: object,
  ): void {
    const presented = request.headers[API_KEY_HEADER];
    const known = typeof presented === 'string' ? this.verifier.recall(presented) : undefined;
    if (known) this.success(known);
    else super.authenticate(request, options);
  }

  /** Passport's contract: false is a refusal, a throw is trouble of ours. */
  async validate(presented: string): Promise<ApiKeyCredential | false> {
    return (await this.verifier.verify(presented)) ?? false;
  }
}
