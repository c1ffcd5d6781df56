// Tables for people: aligned columns, numbers to the right.

/** The first row is the head. Cells that are numbers are aligned to the right. */
export function formatTable(rows: readonly (readonly (string | number)[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => String(row[column] ?? '').length)));
  const isNumber = widths.map((_, column) => rows.slice(1).some((row) => typeof row[column] === 'number'));
  const line = (row: readonly (string | number)[]): string =>
    row
      .map((cell, column) =>
        isNumber[column] === true ? String(cell).padStart(widths[column] ?? 0) : String(cell).padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd();
  return rows.map(line).join('\n');
}
