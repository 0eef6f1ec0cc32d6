import type { EntityManager, EntityMetadata, ObjectLiteral } from 'typeorm';
import { INSTANT } from './columns';
import { execute, select, type SqlValue, toInstant } from './sql';

/** A column and the property it is read into. */
interface Place {
  column: string;
  property: string;
  isInstant: boolean;
}

/** What the statements about one kind of entity have in common. */
interface Shape {
  places: Place[];
  /** All columns, as a list in SQL. */
  names: string;
  /** By the property that is asked for. */
  lookups: Map<string, Lookup>;
  insertion: string;
}

/** How an entity is found by one of its columns. */
interface Lookup {
  column: string;
  sql: string;
}

const NO_ROW: Record<string, unknown> = {};

const shapes = new WeakMap<EntityMetadata, Shape>();

/**
 * The entity whose `property` has this value, or null. What TypeORM's `findOneBy` does, for the statements of every request:
 * that one puts its SQL together anew each time, which takes longer than running it.
 *
 * @param property of a unique index
 */
export async function findOne<Entity extends ObjectLiteral>(
  tx: EntityManager,
  entity: new () => Entity,
  property: keyof Entity & string,
  value: string,
): Promise<Entity | null> {
  const metadata = tx.dataSource.getMetadata(entity);
  const shape = shapeOf(metadata);
  const { column: asked, sql } = lookupBy(property, metadata, shape);
  const [row] = await select<Record<string, unknown>>(tx, sql, [value]);
  // What equals the value to an engine need not be it: MySQL takes no notice of blanks at the end.
  const isMeant = row?.[asked] === value;
  const stored = row ?? NO_ROW;
  const found: ObjectLiteral = new entity();
  for (const { column, property: name, isInstant } of shape.places) {
    const read = stored[column];
    found[name] = isInstant && read ? toInstant(read as Date | string) : read;
  }
  // Only now: that there is no such row shall take as long, since a login tells nobody who has an account.
  return isMeant ? (found as Entity) : null;
}

/** Inserts one entity, all of its columns given, as they are. What TypeORM's `insert` does, for the same reason. */
export async function insertOne<Entity extends { [Name in keyof Entity]: SqlValue }>(
  tx: EntityManager,
  entity: new () => Entity,
  values: Entity,
): Promise<void> {
  const { places, insertion } = shapeOf(tx.dataSource.getMetadata(entity));
  await execute(
    tx,
    insertion,
    places.map(({ property }) => values[property as keyof Entity]),
  );
}

function shapeOf(metadata: EntityMetadata): Shape {
  const known = shapes.get(metadata);
  if (known) return known;
  const { tableName } = metadata;
  const places = metadata.columns.map(({ databaseName, propertyName, type }) => ({
    column: databaseName,
    property: propertyName,
    isInstant: type === INSTANT.type,
  }));
  const names = places.map(({ column }) => column).join(', ');
  const parameters = places.map(() => '?').join(', ');
  const insertion = `INSERT INTO ${tableName} (${names}) VALUES (${parameters})`;
  const shape = { places, names, lookups: new Map<string, Lookup>(), insertion };
  shapes.set(metadata, shape);
  return shape;
}

function lookupBy(property: string, { name, tableName }: EntityMetadata, shape: Shape): Lookup {
  const known = shape.lookups.get(property);
  if (known !== undefined) return known;
  const column = shape.places.find((place) => place.property === property)?.column;
  if (column === undefined) throw new Error(`${name} has no ${property}`);
  const lookup = { column, sql: `SELECT ${shape.names} FROM ${tableName} WHERE ${column} = ?` };
  shape.lookups.set(property, lookup);
  return lookup;
}
