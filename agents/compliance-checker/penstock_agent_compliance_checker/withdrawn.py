"""Identifiers that the SPDX list withdrew, and what replaced them: licence and exception."""

WITHDRAWN: dict[str, tuple[str, str | None]] = {
    "BSD-2-Clause-FreeBSD": ("BSD-2-Clause", None),
    "BSD-2-Clause-NetBSD": ("BSD-2-Clause", None),
    "GPL-2.0-with-GCC-exception": ("GPL-2.0-or-later", "GCC-exception-2.0"),
    "GPL-2.0-with-autoconf-exception": ("GPL-2.0-or-later", "Autoconf-exception-2.0"),
    "GPL-2.0-with-bison-exception": ("GPL-2.0-or-later", "Bison-exception-2.2"),
    "GPL-2.0-with-classpath-exception": ("GPL-2.0-only", "Classpath-exception-2.0"),
    "GPL-2.0-with-font-exception": ("GPL-2.0-only", "Font-exception-2.0"),
    "GPL-3.0-with-GCC-exception": ("GPL-3.0-or-later", "GCC-exception-3.1"),
    "GPL-3.0-with-autoconf-exception": ("GPL-3.0-or-later", "Autoconf-exception-3.0"),
    "Nunit": ("zlib-acknowledgement", None),
    "StandardML-NJ": ("SMLNJ", None),
    "bzip2-1.0.5": ("bzip2-1.0.6", None),
    "eCos-2.0": ("GPL-2.0-or-later", "eCos-exception-2.0"),
    "wxWindows": ("LGPL-2.0-or-later", "WxWindows-exception-3.1"),
}
