"""Tells that something changed in a folder. Events are only a hint: they get lost.

    add(folders, on_change) ──▶ roots, one per folder ──▶ directories ──▶ watchdog (inotify)
                                  every 5 s: is it still the same folder, is its watch alive?
                                  every 30 s: does its listing look as it did?

What inotify does not tell, and what is done about it:

- a root that is a symlink gives no events: the folder behind it is watched, and the link looked at;
- a folder deleted and made anew, renamed away or mounted over is watched at its old inode for ever:
  device and inode are compared, and the parent is watched so that this shows at once;
- a full event queue loses events: the listing is compared now and then;
- no watches or instances are left (ENOSPC, EMFILE): the listing is compared every 2 s instead.

`folders` (who wants to know) → `roots` (a folder as the user wrote it, and watchdog).
"""

from __future__ import annotations

from agent.watch.folders import FolderWatch, Subscription

__all__ = ["FolderWatch", "Subscription"]
