import { readFileSync } from 'node:fs'
import type { Architecture } from './architecture.ts'

/** Of the project, unless who builds the package names himself (dpkg-deb's own tools use these names, too). */
const { DEBFULLNAME = 'dorc maintainers', DEBEMAIL = 'maintainers@users.noreply.github.com' } = process.env
const MAINTAINER = `${DEBFULLNAME} <${DEBEMAIL}>`

/** deb-control(5). The runtime inside is the official build: it needs the C and C++ libraries and nothing else. */
export function control(
  { version, architecture }: { readonly version: string; readonly architecture: Architecture },
  installedKilobytes: number,
): string {
  return `Package: dorc
Version: ${version}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${installedKilobytes}
Depends: libc6 (>= 2.28), libstdc++6 (>= 8), libgcc-s1, systemd (>= 247), dbus
Section: admin
Priority: optional
Description: blue/green deployment for one host
 Upload a build: it is copied into the slot that nobody uses, started there
 and probed. A switch then sends new connections to it, while open ones stay
 where they are; a second switch takes it back. No container, no registry,
 no proxy in the way where the kernel can steer.
`
}

/** deb-changelog(5): it must be dated, as everything of a package is. */
export function changelog(version: string, epoch: number): string {
  const date = new Date(epoch * 1000).toUTCString().replace('GMT', '+0000')
  return `dorc (${version}) unstable; urgency=medium

  * What is new is in NEWS.gz.

 -- ${MAINTAINER}  ${date}
`
}

export function copyright(): string {
  const licence = indented(readFileSync('LICENSE', 'utf8'))
  return `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: dorc

Files: *
Copyright: the authors of dorc
License: Expat

Files: usr/lib/dorc/node
Copyright: Node.js contributors, and the authors of what it contains
License: Nodejs
 See /usr/share/doc/dorc/nodejs-licences.gz.

Files: usr/lib/dorc/node_modules/*
Copyright: Niels Martignène
License: Expat

License: Expat
${licence}
`
}

const indented = (text: string): string =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => (line === '' ? ' .' : ` ${line}`))
    .join('\n')

/** The runtime carries its own libraries, so that it does not depend on the distribution's Node. */
export const overrides = (): string => `dorc: embedded-library *
dorc: hardening-no-pie *usr/lib/dorc/node*
`
