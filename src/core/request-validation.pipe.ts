import { type ArgumentMetadata, Injectable, ValidationPipe } from '@nestjs/common';
import type { ValidationError } from 'class-validator';
import { ApiError, type FieldFault, fieldError } from './errors';

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
      exceptionFactory: (errors) => new ApiError('validation_failed', { details: errors.flatMap(toFaults) }),
    });
  }

  override transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    if (metadata.type !== 'body') return super.transform(value, metadata);
    // No body is one without fields: whether that will do is for the DTO to say.
    const body = value === undefined ? {} : value;
    if (!isJsonObject(body)) throw fieldError('', 'isObject', 'the body must be a JSON object');
    return super.transform(body, metadata);
  }
}

function isJsonObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function toFaults(error: ValidationError): FieldFault[] {
  return Object.entries(error.constraints ?? {}).map(([rule, message]) =>
    rule === 'whitelistValidation'
      ? { field: error.property, rule: 'unknownField', message: `${error.property} is not a known field` }
      : { field: error.property, rule, message },
  );
}
