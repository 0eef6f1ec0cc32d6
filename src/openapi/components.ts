import type { HeaderObject, SchemaObject } from '@nestjs/swagger';
import { FIELD_RULES } from '../core/errors';

const FIELD_FAULT: SchemaObject = {
  type: 'object',
  description: 'One fault of one field.',
  required: ['field', 'rule', 'message'],
  properties: {
    field: { type: 'string', description: 'Name of the field or header; empty for the body as a whole.' },
    rule: {
      type: 'string',
      enum: [...FIELD_RULES],
      description: 'Name of the rule that was broken; stable. A later release may know more.',
    },
    message: { type: 'string', description: 'The rule as a sentence.' },
  },
};

/** Bodies that all operations share. */
export const SHARED_SCHEMAS: Record<string, SchemaObject> = {
  FieldFault: FIELD_FAULT,
  Error: {
    type: 'object',
    description: 'Why a call failed.',
    required: ['error'],
    properties: {
      error: { type: 'string', description: 'A sentence for people. Branch on `X-Error-Code` instead.' },
      details: {
        type: 'array',
        description: 'With `validation_failed` only: what is wrong with which field.',
        items: { $ref: '#/components/schemas/FieldFault' },
      },
    },
  },
  Problem: {
    type: 'object',
    description: 'The same as RFC 9457 problem details.',
    required: ['type', 'title', 'status', 'detail', 'code', 'requestId'],
    properties: {
      type: {
        type: 'string',
        description: 'Always `about:blank`: the status says what kind of problem it is.',
      },
      title: { type: 'string', description: 'The status in words.' },
      status: { type: 'integer', description: 'The HTTP status.' },
      detail: { type: 'string', description: 'A sentence for people.' },
      code: { type: 'string', description: 'The machine code, as in `X-Error-Code`.' },
      requestId: { type: 'string', description: 'The request id, as in `X-Request-Id`.' },
      errors: {
        type: 'array',
        description: 'With `validation_failed` only: what is wrong with which field.',
        items: { $ref: '#/components/schemas/FieldFault' },
      },
    },
  },
};

/** Headers that operations share. */
export const SHARED_HEADERS: Record<string, HeaderObject> = {
  'X-Request-Id': {
    description: 'Id of the request, as in the log. Quote it when you ask for help.',
    required: true,
    schema: { type: 'string' },
  },
  Deprecation: {
    description:
      'Only where the key has been given a new secret, and this call came with the old one: since when (RFC 9745).',
    schema: { type: 'string' },
    example: '@1795478400',
  },
  Sunset: {
    description:
      'When what this call came with stops working (RFC 8594): with `Deprecation` the old secret, else the key, in the last 30 days before its `expiresAt`.',
    schema: { type: 'string' },
    example: 'Tue, 24 Nov 2026 10:00:00 GMT',
  },
  'WWW-Authenticate': {
    description: '`Bearer`; with `error="invalid_token"` where a Bearer token was sent (RFC 6750).',
    required: true,
    schema: { type: 'string' },
  },
  'Retry-After': {
    description: 'Seconds after which the call may be repeated.',
    required: true,
    schema: { type: 'integer', minimum: 1 },
  },
  RateLimit: {
    description: 'What is left of the limit that was reached (`r`, nothing) and for how many seconds (`t`).',
    required: true,
    schema: { type: 'string' },
    example: '"login-account";r=0;t=8',
  },
  'RateLimit-Policy': {
    description: 'The limit that was reached: its name, how many (`q`) in how many seconds (`w`).',
    required: true,
    schema: { type: 'string' },
    example: '"login-account";q=10;w=86400',
  },
};
