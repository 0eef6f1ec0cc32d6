import {
  type ArgumentMetadata,
  Injectable,
  ValidationPipe,
  type ValidationPipeOptions,
} from '@nestjs/common';
import { type ValidationError, validateSync } from 'class-validator';
import { ApiError, type FieldFault, type FieldRule, fieldError } from './errors';

/** Fields of a query at most: each one that is not known is work and a line of the answer. */
export const MOST_QUERY_FIELDS = 64;

/**
 * Puts values into DTOs and takes them out again. Ours are flat and convert nothing, so that there is nothing to walk through
 * twice for each request, as class-transformer would. What is named like something that every object has (`constructor`,
 * `__proto__`) stays outside: it must not pass for a part of the class.
 */
const FLAT: NonNullable<ValidationPipeOptions['transformerPackage']> = {
  plainToInstance: (dto, value) => {
    const instance = new dto() as Record<string, unknown>;
    for (const [name, field] of Object.entries(value as object)) {
      if (!(name in Object.prototype)) instance[name] = field;
    }
    return instance as never;
  },
  classToPlain: (instance) => ({ ...(instance as object) }),
};

/**
 * Checks every body, query and parameter that has a DTO. What a DTO does not declare is refused, so that no field can
 * be smuggled in (ASVS 8.2.3); the value handed on is the one that was sent, never a converted one.
 */
@Injectable()
export class RequestValidationPipe extends ValidationPipe {
  constructor() {
    super({
      whitelist: true,
      forbidNonWhitelisted: true,
      transformerPackage: FLAT,
      // No rule of ours has to wait for anything.
      validatorPackage: { validate: validateSync },
      exceptionFactory: (errors) => new ApiError('validation_failed', { details: errors.flatMap(toFaults) }),
    });
  }

  override transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    // Nest takes a value where it says a promise. What has no DTO need not wait: with every request that costs microseconds.
    if (metadata.type !== 'body' && !this.toValidate(metadata)) return value as Promise<unknown>;
    return this.transformChecked(value, metadata);
  }

  private async transformChecked(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    if (metadata.type !== 'body') return this.check(value, metadata);
    // No body is one without fields: whether that will do is for the DTO to say.
    const body = value === undefined ? {} : value;
    if (!isJsonObject(body)) throw fieldError('', 'isObject', 'the body must be a JSON object');
    return this.check(body, metadata);
  }

  /** Refuses also what `FLAT` left out. */
  private async check(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    const names = isJsonObject(value) ? Object.keys(value) : [];
    if (metadata.type === 'query' && names.length > MOST_QUERY_FIELDS) {
      throw fieldError('', 'maxFields', `the query must have at most ${MOST_QUERY_FIELDS} fields`);
    }
    const checked: unknown = await super.transform(value, metadata);
    if (!isJsonObject(checked)) return checked;
    const dropped = names.filter((name) => !Object.hasOwn(checked, name));
    if (dropped.length > 0) throw new ApiError('validation_failed', { details: dropped.map(unknownField) });
    return checked;
  }
}

function isJsonObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unknownField(name: string): FieldFault {
  return { field: name, rule: 'unknownField', message: `${name} is not a known field` };
}

function toFaults(error: ValidationError): FieldFault[] {
  return Object.entries(error.constraints ?? {}).map(([rule, message]) =>
    rule === 'whitelistValidation'
      ? unknownField(error.property)
      : { field: error.property, rule: rule as FieldRule, message },
  );
}
