/** Ctrl-C, or the end of the input, at a question: told by name, so that no other command loads the prompts. */
export function isCancelled(error: unknown): boolean {
  return error instanceof Error && (error.name === 'ExitPromptError' || error.name === 'AbortPromptError')
}
