import { readFileSync } from 'node:fs';
import ts from 'typescript';

/**
 * The whole names of the tests that stand in a spec, as they are written: placeholders of `it.each` and of templates are not
 * filled in, and the names of `describe` are not part of them.
 *
 * @param file path of the spec
 */
export function testNames(file: string): string[] {
  const names: string[] = [];
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest);
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isTest(node.expression)) {
      const [name] = node.arguments;
      if (name && ts.isStringLiteralLike(name)) names.push(name.text);
      if (name && ts.isTemplateExpression(name)) names.push(name.getText(source).slice(1, -1));
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return names;
}

/** `it(…)`, `test(…)`, `it.each(…)(…)` and ``it.each`…`(…)``; not those that are skipped or to be done. */
function isTest(called: ts.Expression): boolean {
  if (ts.isIdentifier(called)) return called.text === 'it' || called.text === 'test';
  if (ts.isTaggedTemplateExpression(called)) return isEach(called.tag);
  return ts.isCallExpression(called) && isEach(called.expression);
}

function isEach(called: ts.Expression): boolean {
  return ts.isPropertyAccessExpression(called) && called.name.text === 'each' && isTest(called.expression);
}
