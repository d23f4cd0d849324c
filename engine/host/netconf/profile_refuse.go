package netconf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
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
	case OVSBridge, OVSPort, OVSPatch: // devices of one name have several profiles of Open vSwitch's types
		return nil
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
		if err := soleProfile(files, device, profileType(kinds[device])); err != nil {
			return err
		}
	}
	return nil
}

// soleProfile refuses a device that none of the profiles below /etc surely has, and
// one that two have alike.
func soleProfile(files Files, device, kind string) error {
	file, there := profileOf(files, device)
	if !there && has(files, profilePath(device)) {
		return fmt.Errorf("%s is there, and is no profile of %s (it has no interface-name=%s): say that in its group [connection], or move it away", profilePath(device), device, device)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		k := parseKeys(keyfile{}, files[name])
		own, _ := k.get("connection", "interface-name")
		switch of, _ := k.get("connection", "type"); {
		case name == file || k.generated() || strings.HasPrefix(of, "ovs-"):
		case there && own == device && strings.HasPrefix(name, keyfileDirectory+"/") && k.rank() == parseKeys(keyfile{}, files[file]).rank():
			return fmt.Errorf("%s and %s are both profiles of %s with the same autoconnect-priority, and which one NetworkManager takes is not known: give one a greater priority, or delete the other (nmcli connection delete)", file, name, device)
		case there:
		case own == device:
			return fmt.Errorf("the profile of %s is %s, which weft cannot edit: copy it to %s, run nmcli connection reload, and check again", device, name, keyfileDirectory)
		case own == "" && kind == "ethernet" && (of == "" || of == "ethernet" || of == "802-3-ethernet"):
			return fmt.Errorf("%s names no device, so it may be the profile of %s: say interface-name=… of its device in its group [connection] (nmcli connection modify), or give %s a profile of its own", name, device, device)
		}
	}
	return nil
}

// generated says whether NetworkManager made a profile up, and drops it again.
func (k keys) generated() bool {
	for _, key := range []string{"nm-generated", "volatile"} {
		if v, _ := k.get(".nmmeta", key); v == "true" || v == "1" {
			return true
		}
	}
	return false
}

func has(files Files, name string) bool { _, there := files[name]; return there }

func profilePath(device string) string {
	return keyfileDirectory + "/" + fileName(device) + ".nmconnection"
}
