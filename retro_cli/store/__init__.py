"""Every byte that touches a disk: atomic files, manifests, journals, the writer's lock."""
