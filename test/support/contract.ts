import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type {
  HeaderObject,
  MediaTypeObject,
  OpenAPIObject,
  OperationObject,
  ReferenceObject,
  ResponseObject,
} from '@nestjs/swagger';
import Ajv2020 from 'ajv/dist/2020';
import addFormats from 'ajv-formats';

/** The committed document, as clients read it. */
export const openApiDocument = JSON.parse(
  readFileSync(join(__dirname, '..', '..', 'openapi.json'), 'utf8'),
) as OpenAPIObject;

const METHODS = ['get', 'post', 'patch', 'delete'] as const;

/** One operation of the document. */
export interface DocumentedOperation {
  id: string;
  method: string;
  /** With `{parameters}`. */
  path: string;
  operation: OperationObject;
}

export const operations: DocumentedOperation[] = Object.entries(openApiDocument.paths).flatMap(
  ([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method];
      return operation
        ? [{ id: operation.operationId ?? '', method: method.toUpperCase(), path, operation }]
        : [];
    }),
);

/** The request example of an operation. */
export function requestExample({ operation }: DocumentedOperation): Record<string, unknown> | undefined {
  const body = operation.requestBody as { content: Record<string, MediaTypeObject> } | undefined;
  const example = body?.content['application/json']?.examples?.['default'] as { value: object } | undefined;
  return example && { ...example.value };
}

/** The fields that the body of an operation may have, as the document describes them. */
export function requestSchema({ operation }: DocumentedOperation): Record<string, object> {
  const body = operation.requestBody as { content: Record<string, MediaTypeObject> } | undefined;
  const { $ref } = body?.content['application/json']?.schema as ReferenceObject;
  const schema = openApiDocument.components?.schemas?.[$ref.split('/').at(-1) ?? ''] as {
    properties?: Record<string, object>;
  };
  return schema.properties ?? {};
}

const ajv = addFormats(new Ajv2020({ strict: false, allErrors: true }));
ajv.addSchema(closed(openApiDocument), 'openapi');

/** The document with every body's schema closed, so that an answer with a field too many is found out as well. */
function closed(document: OpenAPIObject): object {
  const copy = structuredClone(document);
  for (const schema of Object.values(copy.components?.schemas ?? {})) {
    if ('type' in schema && schema.type === 'object') schema.additionalProperties = false;
  }
  return copy;
}

/** The operation that answers a request, if it is documented. */
export function findOperation(method: string, path: string): DocumentedOperation | undefined {
  return operations.find((candidate) => {
    const pattern = candidate.path.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+');
    return candidate.method === method && new RegExp(`^${pattern}$`).test(path);
  });
}

/**
 * Throws if an answer is not as documented. What is not JSON is taken as the text it is.
 *
 * @param text its body, as it was sent
 */
export function expectDocumented(
  method: string,
  url: string,
  { status, headers }: Pick<Response, 'status' | 'headers'>,
  text: string,
): void {
  const isJson = /^application\/(\w+\+)?json\b/.test(headers.get('content-type') ?? '');
  const body: unknown = text === '' ? undefined : isJson ? JSON.parse(text) : text;
  const against = violations(method, url, { status, headers, body });
  if (against.length > 0) throw new Error(`${against.join('\n')}\nin ${text}`);
}

/** What the contract says against an answer; nothing, if it is as documented. Undocumented paths and methods pass. */
export function violations(
  method: string,
  url: string,
  answer: { status: number; headers: Headers; body: unknown },
): string[] {
  const { pathname } = new URL(url);
  const found = findOperation(method, pathname);
  if (!found) return [];
  const name = `${found.id} ${answer.status}`;
  const documented = found.operation.responses[String(answer.status)] as ResponseObject | undefined;
  if (!documented) return [`${name} is not documented`];
  const missing = Object.entries(documented.headers ?? {})
    .filter(([name, header]) => isRequired(header) && !answer.headers.has(name))
    .map(([name]) => name);
  return [
    ...missing.map((header) => `${name} lacks the header ${header}`),
    ...bodyViolations(found, answer, documented).map((fault) => `${name} ${fault}`),
  ];
}

function isRequired(header: HeaderObject | ReferenceObject): boolean {
  if (!('$ref' in header)) return header.required === true;
  const shared = openApiDocument.components?.headers?.[header.$ref.split('/').at(-1) ?? ''];
  return shared !== undefined && isRequired(shared);
}

function bodyViolations(
  { path, method }: DocumentedOperation,
  { status, headers, body }: { status: number; headers: Headers; body: unknown },
  { content }: ResponseObject,
): string[] {
  if (!content) return body === undefined ? [] : ['has a body'];
  const mediaType = headers.get('content-type')?.split(';')[0] ?? '';
  if (!content[mediaType]) return [`comes as ${mediaType}`];
  const pointer = [
    'paths',
    path,
    method.toLowerCase(),
    'responses',
    String(status),
    'content',
    mediaType,
    'schema',
  ]
    .map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')))
    .join('/');
  const validate = ajv.getSchema(`openapi#/${pointer}`);
  if (!validate) return ['has no schema'];
  return validate(body)
    ? []
    : (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message}`);
}
