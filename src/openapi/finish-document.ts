import { STATUS_CODES } from 'node:http';
import type {
  MediaTypeObject,
  OpenAPIObject,
  OperationObject,
  ReferenceObject,
  ResponseObject,
  SchemaObject,
} from '@nestjs/swagger';
import type { ErrorCode } from '../core/errors';
import { ERROR_EXTENSION } from './api-errors.decorator';
import { SHARED_HEADERS, SHARED_SCHEMAS } from './components';
import { errorResponses } from './error-responses';

/** What a request with a body can always fail for. */
const BODY_ERRORS: ErrorCode[] = [
  'validation_failed',
  'malformed_json',
  'json_too_complex',
  'payload_too_large',
  'unsupported_media_type',
];

/** What every operation can fail for, unless it is one of these. */
const OWN_TROUBLE: ErrorCode[] = ['internal_error', 'service_unavailable'];
const LESS_TROUBLE: Record<string, ErrorCode[]> = {
  // Whether the process is alive depends on nothing that could fail.
  '/health/live': [],
  // Says which part of it is unavailable.
  '/health/ready': ['internal_error'],
  // A proxy is told that no decision could be made, whatever the reason.
  '/api/v1/auth/verify': ['service_unavailable'],
};

type Schemas = Record<string, SchemaObject | ReferenceObject>;

/** Adds what the framework does not know: errors, headers, an example for every request and response. */
export function finishDocument(document: OpenAPIObject): OpenAPIObject {
  const components = (document.components ??= {});
  const schemas = (components.schemas = { ...components.schemas, ...SHARED_SCHEMAS });
  components.headers = SHARED_HEADERS;
  for (const schema of Object.values(schemas)) countInWholes(schema);
  for (const [path, item] of Object.entries(document.paths)) {
    for (const operation of [item.get, item.post, item.patch, item.delete]) {
      if (operation) finishOperation(path, operation, schemas);
    }
  }
  return document;
}

function finishOperation(path: string, operation: OperationObject, schemas: Schemas): void {
  const codes = takeErrorCodes(operation);
  const body = operation.requestBody;
  if (body && 'content' in body) {
    codes.unshift(...BODY_ERRORS);
    // No body is one without fields, which will do where none is required.
    body.required = Object.values(body.content).some((media) => requiresFields(media, schemas));
    for (const media of Object.values(body.content)) {
      closeSchema(media, schemas);
      addExample(media, schemas, 'A complete request');
    }
  }
  codes.push(...(LESS_TROUBLE[path] ?? OWN_TROUBLE));
  for (const [status, response] of Object.entries(operation.responses)) {
    if (!response || '$ref' in response) continue;
    response.description ||= STATUS_CODES[status] ?? status;
    response.headers = { ...response.headers, ...headersOf(operation) };
    for (const media of Object.values(response.content ?? {}))
      addExample(media, schemas, 'A complete answer');
  }
  Object.assign(operation.responses, errorResponses(codes));
  // `@Public()` says that no credential is needed; OpenAPI says it with an empty list.
  if (operation.security?.some((scheme) => Object.keys(scheme).length === 0)) operation.security = [];
}

/** What every answer carries, and what it carries where an old secret of a key may be presented. */
function headersOf({ security }: OperationObject): ResponseObject['headers'] {
  const names = ['X-Request-Id'];
  if (security?.some((scheme) => 'apiKey' in scheme)) names.push('Deprecation', 'Sunset');
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

/** The codes that `@ApiErrors` left, without duplicates, in their order; the marks are taken off. */
function takeErrorCodes(operation: OperationObject): ErrorCode[] {
  const marked = operation as unknown as Record<string, unknown>;
  const marks = Object.keys(marked).filter((key) => key.startsWith(ERROR_EXTENSION));
  for (const mark of marks) delete marked[mark];
  return marks.map((mark) => mark.slice(ERROR_EXTENSION.length) as ErrorCode);
}

/**
 * TypeScript has one word for all numbers, and none of ours has a fraction. Of a `number` generators make 32 bits with one, which
 * tell no two moments apart that lie a minute from each other.
 */
function countInWholes(schema: SchemaObject | ReferenceObject): void {
  if ('$ref' in schema) return;
  for (const property of Object.values(schema.properties ?? {})) {
    if ('type' in property && property.type === 'number') property.type = 'integer';
  }
}

/** Unknown fields of a request are refused, so its schema says so. */
function closeSchema(media: MediaTypeObject, schemas: Schemas): void {
  const target = schemaOf(media, schemas);
  if (target) target.additionalProperties = false;
}

function requiresFields(media: MediaTypeObject, schemas: Schemas): boolean {
  return (schemaOf(media, schemas)?.required ?? []).length > 0;
}

function schemaOf({ schema }: MediaTypeObject, schemas: Schemas): SchemaObject | undefined {
  const target = schema && '$ref' in schema ? schemas[nameOf(schema)] : schema;
  return target && '$ref' in target ? undefined : target;
}

function addExample(media: MediaTypeObject, schemas: Schemas, summary: string): void {
  // A more telling one may be there already.
  if (!media.schema || media.examples) return;
  media.examples = { default: { summary, value: exampleOf(media.schema, schemas) } };
}

/** Puts an example together from those of the properties. */
function exampleOf(schema: SchemaObject | ReferenceObject, schemas: Schemas): unknown {
  if ('$ref' in schema) return exampleOf(schemas[nameOf(schema)] ?? {}, schemas);
  const [first] = schema.examples instanceof Array ? (schema.examples as unknown[]) : [];
  if (schema.example !== undefined) return schema.example;
  if (first !== undefined) return first;
  const [inner] = schema.allOf ?? schema.anyOf ?? [];
  if (inner) return exampleOf(inner, schemas);
  if (schema.items) return [exampleOf(schema.items, schemas)];
  return Object.fromEntries(
    Object.entries(schema.properties ?? {}).map(([name, property]) => [name, exampleOf(property, schemas)]),
  );
}

function nameOf({ $ref }: ReferenceObject): string {
  return $ref.slice('#/components/schemas/'.length);
}
