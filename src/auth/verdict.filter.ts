import { type ArgumentsHost, Catch } from '@nestjs/common';
import { ErrorFilter } from '../core/error.filter';
import { ApiError } from '../core/errors';

/**
 * For proxies, which know three refusals: no (401), not this (403), ask again (503). Whatever else is wrong with a request
 * makes it one without a credential; whatever else is wrong with us leaves it undecided.
 */
@Catch()
export class VerdictFilter extends ErrorFilter {
  override catch(exception: unknown, host: ArgumentsHost): void {
    super.catch(toVerdict(exception), host);
  }
}

function toVerdict(exception: unknown): ApiError {
  if (!(exception instanceof ApiError) || exception.status >= 500) {
    const cause = exception instanceof ApiError ? (exception.cause ?? exception) : exception;
    return new ApiError('service_unavailable', { cause });
  }
  const known = exception.status === 401 || exception.status === 403;
  return known ? exception : new ApiError('authentication_required', { cause: exception });
}
