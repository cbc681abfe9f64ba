// Reads a JSON list of LogQL expressions; writes for each what Grafana's grammar does not understand of it: "" for nothing.
import { parser } from '@grafana/lezer-logql';
import { readFileSync } from 'node:fs';

const wrong = (expression) => {
  let found = '';
  parser.parse(expression).iterate({
    enter: (node) => {
      if (node.type.isError && !found) found = `at ${node.from}: ${expression.slice(node.from, node.from + 40) || 'the end'}`;
    },
  });
  return found;
};
console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(wrong)));
