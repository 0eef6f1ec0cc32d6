import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { type ErrorResponse, toErrorResponse } from '../core/error-response';
import { ApiError, type ErrorCode } from '../core/errors';
import type { Ids } from '../core/ids';
import { hangUp } from './hang-up';
import { EVERY_ANSWER } from './response-headers';

/** What Node's HTTP parser and Fastify's router complain of, as our codes. Everything else is a `bad_request`. */
const CODES: Record<string, ErrorCode> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
  FST_ERR_MAX_PARAM_LENGTH: 'uri_too_long',
};

/** No hook runs for these requests, so what the hooks set is set here. */
function refuse(error: Error & { code?: string }, requestId: string, accept?: string): ErrorResponse {
  const refusal = error instanceof ApiError ? error : new ApiError(CODES[error.code ?? ''] ?? 'bad_request');
  const response = toErrorResponse(refusal, { requestId, accept, sentToken: false });
  return { ...response, headers: { ...EVERY_ANSWER, ...response.headers } };
}

/** Answers a request that never reaches a route of ours, such as one whose path cannot be read, in the shape of every error. */
export function answerUnroutable(
  error: FastifyError | ApiError,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const { status, headers, body } = refuse(error, request.id, request.headers.accept);
  void reply.code(status).headers(headers).send(body);
}

/** Answers what never becomes a request, because it is not HTTP or does not arrive, in the same shape. */
export function answerUnparsable(ids: Ids) {
  return (error: NodeJS.ErrnoException, socket: Duplex): void => {
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const { status, headers, body } = refuse(error, ids.next('req'));
    const lines = Object.entries({
      ...headers,
      'content-length': Buffer.byteLength(body),
      connection: 'close',
    });
    hangUp(
      socket,
      [
        `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
        ...lines.map(([name, value]) => `${name}: ${value}`),
        '',
        body,
      ].join('\r\n'),
    );
  };
}
