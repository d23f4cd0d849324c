package netconf

import (
	"fmt"
	"maps"
	"slices"
)

// touched are the devices whose files a part may change, with their kinds.
func touched(part Part) map[string]string {
	kinds := map[string]string{}
	var members []string
	kind := ""
	switch p := part.(type) {
	case Link:
		kind = p.Kind
	case Addresses:
		kind = p.Kind
		if p.From != "" {
			kinds[p.From] = p.FromKind
		}
	case Bond:
		kind, members = "bond", p.Members
	case VLAN:
		kind = "vlan"
	case Bridge:
		kind, members = "bridge", p.Members
	}
	for _, m := range members {
		kinds[m] = ""
	}
	kinds[part.Of()] = kind
	return kinds
}

// unclear refuses a part whose devices' profiles are not known for sure.
func (p profiles) unclear(files Files, part Part) error {
	kinds := touched(part)
	for _, device := range slices.Sorted(maps.Keys(kinds)) {
		if _, there := profileOf(files, device); there {
			continue
		}
		if name := profilePath(device); has(files, name) {
			return fmt.Errorf("%s is there, and is no profile of %s (it has no interface-name=%s): say that in its group [connection], or move it away", name, device, device)
		}
	}
	return nil
}

func has(files Files, name string) bool { _, there := files[name]; return there }

func profilePath(device string) string {
	return keyfileDirectory + "/" + fileName(device) + ".nmconnection"
}
