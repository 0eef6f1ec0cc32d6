import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Inject } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { toErrorResponse } from './error-response';
import { API_ERRORS, ApiError, type ErrorCode } from './errors';
import { LOG, type Log } from './log';

/** The code for a status that the framework or the HTTP server chose. */
const BY_STATUS: Record<number, ErrorCode> = {
  404: 'not_found',
  405: 'method_not_allowed',
  408: 'request_timeout',
  413: 'payload_too_large',
  414: 'uri_too_long',
  415: 'unsupported_media_type',
  431: 'headers_too_large',
  503: 'service_unavailable',
};

/**
 * 503s that are no faults: load balancers ask for `draining`, and a full hashing queue is a metric and an alert already. A line
 * for each would let an attacker fill the disk.
 */
const EXPECTED: ReadonlySet<ErrorCode> = new Set(['draining', 'overloaded']);

/** The scheme of a token, with or without one behind it. Of other schemes no token has a fault. */
const BEARER = /^bearer(\s|$)/i;

/** Milliseconds during which an outage is logged once; the next line tells how many were left out. */
const ONE_LINE_MS = 1_000;

/** The one place where failures become answers, whoever raised them: our code, the framework or the HTTP server. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  /** How many lines were left out since the last one: by the code of an outage, by the route of a defect. */
  private readonly leftOut = new Map<string, number>();

  constructor(@Inject(LOG) private readonly log: Log) {}

  catch(exception: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    const error = toApiError(exception);
    this.report(error, request);
    if (reply.sent) return;
    const response = toErrorResponse(error, {
      requestId: request.id,
      accept: request.headers.accept,
      sentToken: BEARER.test(request.headers.authorization ?? ''),
    });
    void reply.code(response.status).headers(response.headers).send(response.body);
  }

  /** Our trouble is an error in the log, with what lies underneath; a caller's mistake is of use in debugging only. */
  private report(error: ApiError, request: FastifyRequest): void {
    const route = request.routeOptions.url;
    const entry = { requestId: request.id, code: error.code, method: request.method, route };
    const isTrouble = error.status >= 500 && !EXPECTED.has(error.code);
    if (isTrouble && this.claimLine(error.code, route)) {
      this.log.error({ ...entry, err: error.cause ?? error }, API_ERRORS[error.code].sentence);
    } else {
      this.log.debug(entry, API_ERRORS[error.code].sentence);
    }
  }

  /**
   * Claims this second's line for this trouble; false where it is taken, and the call is only counted. Else whoever goes on
   * calling could fill the disk with lines that say the same.
   */
  private claimLine(code: ErrorCode, route: string | undefined): boolean {
    const reason = code === 'internal_error' ? `${code} ${route}` : code;
    const leftOut = this.leftOut.get(reason);
    this.leftOut.set(reason, leftOut === undefined ? 0 : leftOut + 1);
    if (leftOut !== undefined) return false;
    setTimeout(() => {
      const others = this.leftOut.get(reason) ?? 0;
      this.leftOut.delete(reason);
      if (others > 0)
        this.log.error(
          { code, ...(code === 'internal_error' && { route }), others },
          'Other calls have failed for the same reason',
        );
    }, ONE_LINE_MS).unref();
    return true;
  }
}

function toApiError(exception: unknown): ApiError {
  if (exception instanceof ApiError) return exception;
  return new ApiError(codeOf(exception), { cause: exception });
}

function codeOf(exception: unknown): ErrorCode {
  if (isBrokenOff(exception)) return 'bad_request';
  if (!(exception instanceof HttpException)) return 'internal_error';
  const status = exception.getStatus();
  return BY_STATUS[status] ?? (status < 500 ? 'bad_request' : 'internal_error');
}

/** A client that goes away before its body has come to its end: no trouble of ours, and not for anybody to fill the log with. */
function isBrokenOff(exception: unknown): boolean {
  if (!(exception instanceof Error)) return false;
  const { code, message } = exception as NodeJS.ErrnoException;
  return code === 'ECONNRESET' && message === 'aborted';
}
