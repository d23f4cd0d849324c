package steptest

import (
	"errors"

	"weft/engine/host"
)

// realDoors: only Linux has what weft changes.
func realDoors() (host.Host, error) {
	return host.Host{}, errors.New("WEFT_LAWS_HOST needs Linux")
}
