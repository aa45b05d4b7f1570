import { askText } from './text-prompt.ts'

/** A question to be answered with yes or no. */
export async function askConfirmation(
  message: string,
  { default: fallback }: { readonly default: boolean },
): Promise<boolean> {
  const answer = await askText({
    message,
    default: fallback ? 'yes' : 'no',
    problem: (text) => (/^(y|yes|n|no)$/i.test(text) ? null : 'Please answer yes or no'),
  })
  return answer.toLowerCase().startsWith('y')
}
