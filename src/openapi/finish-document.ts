import type {
  MediaTypeObject,
  OpenAPIObject,
  OperationObject,
  ReferenceObject,
  ResponseObject,
  SchemaObject,
} from '@nestjs/swagger';
import { API_ERRORS, type ErrorCode } from '../core/errors';
import { ERROR_EXTENSION } from './api-errors.decorator';
import { SUCCESS_EXTENSION } from './api-success.decorator';
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

/** What a request without one fails for if a body comes along all the same: it is read before anybody knows. */
const UNASKED_BODY_ERRORS = BODY_ERRORS.filter((code) => code !== 'validation_failed');

/** What is answered before a key has been found good: its caller learns nothing of its end. */
const BEFORE_THE_KEY: ReadonlySet<ErrorCode> = new Set([
  ...UNASKED_BODY_ERRORS,
  'ambiguous_credentials',
  'authentication_required',
  'token_invalid',
  'token_expired',
  'token_revoked',
  'api_key_invalid',
]);

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
    if (item.get) finishOperation(path, item.get, schemas);
    for (const operation of [item.post, item.patch, item.delete]) {
      if (operation) finishOperation(path, operation, schemas, UNASKED_BODY_ERRORS);
    }
  }
  return document;
}

/** @param unasked what is answered to a body where the operation has none */
function finishOperation(
  path: string,
  operation: OperationObject,
  schemas: Schemas,
  unasked: ErrorCode[] = [],
): void {
  const codes = takeErrorCodes(operation);
  const success = takeSuccess(operation);
  const body = operation.requestBody;
  if (body && 'content' in body) {
    codes.unshift(...BODY_ERRORS);
    // No body is one without fields, which will do where none is required.
    body.required = Object.values(body.content).some((media) => requiresFields(media, schemas));
    for (const media of Object.values(body.content)) {
      closeSchema(media, schemas);
      addExample(media, schemas, 'A complete request');
    }
  } else {
    codes.unshift(...unasked);
  }
  codes.push(...(LESS_TROUBLE[path] ?? OWN_TROUBLE));
  for (const response of Object.values(operation.responses)) {
    if (!response || '$ref' in response) continue;
    response.description ||= success ?? refuseUndescribed(operation);
    response.headers = {
      ...response.headers,
      ...refer('X-Request-Id'),
      ...(takesKeys(operation) && refer(...END_OF_KEY)),
    };
    for (const media of Object.values(response.content ?? {}))
      addExample(media, schemas, 'A complete answer');
  }
  Object.assign(operation.responses, errorResponses(codes));
  for (const code of codes.filter((one) => tellsOfEnd(one, operation))) {
    const refusal = operation.responses[API_ERRORS[code].status] as ResponseObject;
    refusal.headers = { ...refusal.headers, ...refer(...END_OF_KEY) };
  }
  // `@Public()` says that no credential is needed; OpenAPI says it with an empty list.
  if (operation.security?.some((scheme) => Object.keys(scheme).length === 0)) operation.security = [];
}

/** What answers carry where an old secret of a key, or a key that is about to end, may be presented. */
const END_OF_KEY = ['Deprecation', 'Sunset'];

/** Whether that failure is answered to a good key: where keys are let in, and where they are not, since they are looked at first. */
function tellsOfEnd(code: ErrorCode, operation: OperationObject): boolean {
  return takesKeys(operation) ? !BEFORE_THE_KEY.has(code) : code === 'session_required';
}

function takesKeys({ security }: OperationObject): boolean {
  return security?.some((scheme) => 'apiKey' in scheme) ?? false;
}

/** Headers that operations share. */
const refer = (...names: string[]): ResponseObject['headers'] =>
  Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));

/** The codes that `@ApiErrors` left, without duplicates, in their order; the marks are taken off. */
function takeErrorCodes(operation: OperationObject): ErrorCode[] {
  const marked = operation as unknown as Record<string, unknown>;
  const marks = Object.keys(marked).filter((key) => key.startsWith(ERROR_EXTENSION));
  for (const mark of marks) delete marked[mark];
  return marks.map((mark) => mark.slice(ERROR_EXTENSION.length) as ErrorCode);
}

function refuseUndescribed({ operationId }: OperationObject): never {
  throw new Error(`${operationId} does not say what its success means: @ApiSuccess`);
}

/** What `@ApiSuccess` left; the mark is taken off. */
function takeSuccess(operation: OperationObject): string | undefined {
  const marked = operation as unknown as Record<string, unknown>;
  const success = marked[SUCCESS_EXTENSION];
  delete marked[SUCCESS_EXTENSION];
  return typeof success === 'string' ? success : undefined;
}

/**
 * All our numbers are integers, which TypeScript cannot say. From `number`, client generators make 32-bit floats, too coarse for `exp` and
 * `iat`.
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
