import { join } from 'node:path'
import type { RegisterRequest } from '../../api/protocol.ts'
import { wasDoneAsRoot } from '../as-root.ts'
import { plainText } from '../plain-text.ts'
import type { Answers } from '../register/answers.ts'
import { appToml } from '../register/app-toml.ts'
import { Draft } from '../register/draft.ts'
import { type FromFile, readDefinition, withoutOriginal } from '../register/from-file.ts'
import { type AnswerFlags, givenBy, refuseMissing, withDefaults } from '../register/given.ts'
import { refuseProblems } from '../register/refuse-problems.ts'
import { tellRegistered, waitUntilUp } from '../register/wait-until-up.ts'
import { type CommonFlags, openSession, type Session } from '../session.ts'

export interface RegisterFlags extends CommonFlags, AnswerFlags {
  readonly from: string | undefined
  readonly yes: boolean | undefined
}

export async function register(flags: RegisterFlags, app?: string): Promise<void> {
  const session = openSession(flags)
  if (wasDoneAsRoot(session)) return
  const wanted = await wantedBy(session, flags, app)
  if (wanted === null) {
    session.say('Nothing changed')
    return
  }
  const { request, source, inTheWay } = wanted
  if (source !== null) await refuseProblems(session.daemon, request, source)
  const accepted = await withoutOriginal(inTheWay, () => session.daemon.register(request))
  const up = await waitUntilUp(session, request.name)
  if (session.isJson) session.document({ ...accepted, app: up })
  else tellRegistered(session, up)
}

/** null: the operator looked at it and does not want it. */
async function wantedBy(
  session: Session,
  flags: RegisterFlags,
  app: string | undefined,
): Promise<FromFile | null> {
  if (flags.from !== undefined) return readDefinition(flags.from, app, session.paths)
  const given = givenBy(flags, app)
  const mayAsk = session.isTerminal && process.stdin.isTTY && !flags.yes
  if (!mayAsk) refuseMissing(given)
  const draft = await Draft.open(session.daemon, session.paths, given)
  const answers = mayAsk ? await ask(session, draft) : await withDefaults(draft)
  const request = { name: answers.name, toml: appToml(answers, session.paths) }
  return mayAsk && !(await isWanted(session, request))
    ? null
    : { request, source: { kind: 'flags' }, inTheWay: null }
}

async function ask({ paint, say }: Session, draft: Draft): Promise<Answers> {
  const { askAnswers } = await import('../register/wizard.ts')
  return askAnswers({ draft, paint, say })
}

async function isWanted({ say, paint, paths }: Session, { name, toml }: RegisterRequest): Promise<boolean> {
  say('')
  say(paint.bold(`This is ${join(paths.appFiles, `${name}.toml`)}:`))
  for (const line of toml.trimEnd().split('\n')) say(paint.dim(`  ${plainText(line)}`))
  say('')
  const { askConfirmation } = await import('../prompts/confirm.ts')
  return askConfirmation(`Register ${name}?`, { default: true })
}
