import { styleText } from 'node:util'

type Brush = (text: string) => string

/** The few looks that dorc's output has. */
export interface Paint {
  readonly bold: Brush
  readonly dim: Brush
  readonly name: Brush
  readonly good: Brush
  readonly bad: Brush
  readonly warn: Brush
  readonly blue: Brush
  readonly green: Brush
}

/** Colours where `stream` is a terminal that has them, NO_COLOR and FORCE_COLOR considered. */
export function paintFor(stream: NodeJS.WriteStream): Paint {
  const brush =
    (...formats: Parameters<typeof styleText>[0][]): Brush =>
    (text) =>
      styleText(formats.flat(), text, { stream })
  return {
    bold: brush('bold'),
    dim: brush('dim'),
    name: brush('bold', 'yellow'),
    good: brush('green'),
    bad: brush('red'),
    warn: brush('yellow'),
    blue: brush('bold', 'blue'),
    green: brush('bold', 'green'),
  }
}

const asItIs: Brush = (text) => text

export const noPaint: Paint = {
  bold: asItIs,
  dim: asItIs,
  name: asItIs,
  good: asItIs,
  bad: asItIs,
  warn: asItIs,
  blue: asItIs,
  green: asItIs,
}
