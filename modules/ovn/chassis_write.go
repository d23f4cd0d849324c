package ovn

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// Write sets the keys in one transaction. A change of the name under a running
// ovn-controller takes five effects more: mark, stop, file, (keys), start,
// unmark. The mark is what a killed run leaves for the next one.
func (chassis) Write(ctx context.Context, h host.Host, have, want ChassisSpec) error {
	moving := text(have.Moving) != nil
	if renamed(have, want) && have.Found.Running && !moving {
		if err := setKeys(ctx, h, map[string]*string{movingKey: new(controllerUnit)}); err != nil {
			return err
		}
		moving = true
	}
	if moving && renamed(have, want) {
		if err := h.Units.Do(ctx, host.Stop, controllerUnit); err != nil {
			return err
		}
	}
	if err := writeFile(ctx, h, have, want); err != nil {
		return err
	}
	if err := writeKeys(ctx, h, have, want); err != nil {
		return err
	}
	return settleMove(ctx, h, moving, want)
}

// renamed says whether the name in the database changes.
func renamed(have, want ChassisSpec) bool {
	return slices.ContainsFunc(chassis{}.Diff(have, want), func(d step.Delta) bool { return d.Path == "system_id" })
}

func writeFile(ctx context.Context, h host.Host, have, want ChassisSpec) error {
	file := wantedFile(have, want)
	content, there := file.Get()
	switch {
	case !there && !have.IDFile.Absent():
		return h.Files.Remove(ctx, idFile)
	case there && (have.IDFile.Absent() || strings.TrimSpace(content) != strings.TrimSpace(have.IDFile.Or(""))):
		return h.Files.Write(ctx, idFile, []byte(content), host.Attributes{})
	}
	return nil
}

// settleMove starts what was stopped for a move, and takes the mark away. An
// undo of a run that found a move half done goes back to there.
func settleMove(ctx context.Context, h host.Host, moving bool, want ChassisSpec) error {
	if mark, halfway := want.Moving.Get(); halfway {
		if !moving {
			if err := setKeys(ctx, h, map[string]*string{movingKey: &mark}); err != nil {
				return err
			}
		}
		if !want.Running.Or(true) {
			return order(ctx, h, host.Stop)
		}
		return order(ctx, h, host.Start)
	}
	if !moving && !want.Running.Or(false) {
		return nil
	}
	if err := order(ctx, h, host.Start); err != nil || !moving {
		return err
	}
	return setKeys(ctx, h, map[string]*string{movingKey: nil})
}

// order starts or stops ovn-controller, unless it is so already.
func order(ctx context.Context, h host.Host, verb host.UnitVerb) error {
	unit, err := h.Units.Unit(ctx, controllerUnit)
	if err != nil || (verb == host.Start) == (unit.ActiveState == "active") {
		return err
	}
	return h.Units.Do(ctx, verb, controllerUnit)
}

// setKeys sets keys of external_ids; nil removes one.
func setKeys(ctx context.Context, h host.Host, keys map[string]*string) error {
	r, _, err := openVSwitch(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	var tx row.Tx
	tx.Mutate("Open_vSwitch", row.ID(r), row.SetKeys("external_ids", keys)...)
	return conflicts(tx.Commit(ctx, h.OVSDB, host.OpenVSwitch))
}

// writeKeys brings external_ids from have to want.
func writeKeys(ctx context.Context, h host.Host, have, want ChassisSpec) error {
	r, now, err := openVSwitch(ctx, h.OVSDB)
	if err != nil {
		return err
	}
	keys := changedKeys(have.ExternalIDs, want.ExternalIDs)
	for _, d := range (chassis{}).Diff(have, want) {
		maps.Copy(keys, want.keyOf(d.Path, have, now))
	}
	if len(keys) == 0 {
		return nil
	}
	var tx row.Tx
	if _, merged := keys[mappingKey]; merged {
		tx.Guard("Open_vSwitch", r, "external_ids")
	}
	mutations := row.SetKeys("external_ids", keys)
	tx.Mutate("Open_vSwitch", row.ID(r), mutations...)
	return conflicts(tx.Commit(ctx, h.OVSDB, host.OpenVSwitch))
}

// keyOf is the key of external_ids behind the attribute of a delta, with the
// value it should have.
func (s ChassisSpec) keyOf(path string, have ChassisSpec, now map[string]string) map[string]*string {
	attribute, _, _ := strings.Cut(path, ".")
	i := slices.IndexFunc(externalIDs(), func(e externalID) bool { return e.attribute == attribute })
	if i < 0 {
		return nil
	}
	key := externalIDs()[i].key
	value := s.valueOf(attribute, have, now)
	if value != nil && s.Found != nil {
		// What was found has its own spelling, and gets it back.
		if found, ok := s.Found.Texts[key]; ok && s.means(attribute, found, *value) {
			value = &found
		}
	}
	return map[string]*string{key: value}
}

// valueOf is the text of an attribute, or nil where the key should go.
func (s ChassisSpec) valueOf(attribute string, have ChassisSpec, now map[string]string) *string {
	switch attribute {
	case "system_id":
		if s.SystemID.Absent() {
			return nil
		}
		return new(s.target(have))
	case "hostname":
		return pointer(s.Hostname, identical)
	case "remote":
		if len(s.Remote) == 0 {
			return nil
		}
		return new(strings.Join(s.Remote, ","))
	case "encap_type":
		return pointer(s.EncapType, identical)
	case "encap_ip":
		return pointer(s.EncapIP, identical)
	case "monitor_all":
		return pointer(s.MonitorAll, strconv.FormatBool)
	case "remote_probe_interval":
		return pointer(s.RemoteProbeInterval, strconv.Itoa)
	case "openflow_probe_interval":
		return pointer(s.OpenflowProbeInterval, strconv.Itoa)
	case "bridge":
		return pointer(s.Bridge, identical)
	case "bridge_datapath_type":
		return pointer(s.BridgeDatapathType, identical)
	case "bridge_mappings":
		return parseMappings(now[mappingKey]).with(s.BridgeMappings)
	}
	panic(fmt.Sprintf("ovn: ovn_chassis has no attribute %q", attribute))
}

func identical(s string) string { return s }

func pointer[T any](a step.Attr[T], text func(T) string) *string {
	if v, ok := a.Get(); ok {
		return new(text(v))
	}
	return nil
}

// means says whether two texts of a key say the same.
func (s ChassisSpec) means(attribute, a, b string) bool {
	switch attribute {
	case "remote", "encap_type", "encap_ip", "bridge_mappings":
		return sameList(a, b)
	case "monitor_all":
		return strings.EqualFold(a, "true") == (b == "true")
	case "remote_probe_interval", "openflow_probe_interval":
		n, err := strconv.Atoi(strings.TrimSpace(a))
		return err != nil && b == "-1" || err == nil && strconv.Itoa(n) == b
	}
	return a == b
}

// with is the mappings after a change of some, in their order; nil where none
// is left.
func (m mappings) with(change keys) *string {
	var pairs []string
	seen := map[string]bool{}
	for _, pair := range m {
		network, bridge := pair[0], pair[1]
		if a, ok := change[network]; ok {
			if a.Absent() {
				continue
			}
			bridge = a.Or(bridge)
		}
		seen[network] = true
		pairs = append(pairs, network+":"+bridge)
	}
	for _, network := range slices.Sorted(maps.Keys(change)) {
		if bridge, ok := change[network].Get(); ok && !seen[network] {
			pairs = append(pairs, network+":"+bridge)
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	return new(strings.Join(pairs, ","))
}
