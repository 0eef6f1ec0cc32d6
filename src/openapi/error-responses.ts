import { STATUS_CODES } from 'node:http';
import type { ResponseObject, ResponsesObject } from '@nestjs/swagger';
import { toErrorResponse } from '../core/error-response';
import { ApiError, API_ERRORS, type ErrorCode, type FieldFault } from '../core/errors';

const EXAMPLE_REQUEST_ID = 'req_01k9v3d9x2fwyb8h4m6t0rzqaj';

const EXAMPLE_DETAILS: FieldFault[] = [
  { field: 'nickname', rule: 'unknownField', message: 'nickname is not a known field' },
];

/** Every code there is, for readers who begin at the top. */
export function errorTable(): string {
  const rows = Object.entries(API_ERRORS)
    .map(([code, { status, sentence, when }]) => ({ code, status, sentence, when }))
    .sort((a, b) => a.status - b.status)
    .map(({ code, status, sentence, when }) => `| ${status} | \`${code}\` | ${sentence} | ${when} |`);
  return ['| Status | Code | Sentence | When |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** The responses for these errors: one per status, with body, headers and an example for each code. */
export function errorResponses(codes: readonly ErrorCode[]): ResponsesObject {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = API_ERRORS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries([...byStatus].map(([status, group]) => [status, errorResponse(status, group)]));
}

function errorResponse(status: number, codes: ErrorCode[]): ResponseObject {
  return {
    description: [
      STATUS_CODES[status],
      '',
      ...codes.map((code) => `- \`${code}\`: ${API_ERRORS[code].when}`),
    ].join('\n'),
    headers: {
      ...refer('X-Request-Id'),
      'X-Error-Code': {
        description: 'Stable machine code of the error.',
        required: true,
        schema: { type: 'string', enum: codes },
      },
      ...(status === 401 && refer('WWW-Authenticate')),
      ...([429, 503].includes(status) && refer('Retry-After')),
      ...(status === 429 && { ...refer('RateLimit'), ...refer('RateLimit-Policy') }),
    },
    content: {
      'application/json': {
        schema: { $ref: '#/components/schemas/Error' },
        examples: examples(codes, undefined),
      },
      // Who sends what cannot be read cannot say which form of answer is preferred.
      ...(!codes.includes('bad_request') && {
        'application/problem+json': {
          schema: { $ref: '#/components/schemas/Problem' },
          examples: examples(codes, 'application/problem+json'),
        },
      }),
    },
  };
}

/** A header that operations share. */
const refer = (name: string) => ({ [name]: { $ref: `#/components/headers/${name}` } });

function examples(codes: ErrorCode[], accept: string | undefined) {
  const context = { requestId: EXAMPLE_REQUEST_ID, accept, sentToken: false };
  return Object.fromEntries(
    codes.map((code) => {
      const details = code === 'validation_failed' ? EXAMPLE_DETAILS : undefined;
      const { body } = toErrorResponse(new ApiError(code, details && { details }), context);
      return [code, { summary: API_ERRORS[code].when, value: JSON.parse(body) as unknown }];
    }),
  );
}
