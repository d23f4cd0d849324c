//go:build !linux

package local

import "weft/engine/host"

// New panics: the doors of a real machine need Linux.
func New() host.Host { panic("local: needs Linux") }
