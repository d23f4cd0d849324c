package libvirt

import (
	"context"
	"fmt"
	"maps"
	"time"

	"weft/engine/host"
	"weft/engine/host/xmltree"
	"weft/engine/step"
)

func (domains) Write(ctx context.Context, h host.Host, have, want domainState) error {
	if !want.State.There() {
		return removeDomain(ctx, h, have, want)
	}
	text, err := defineAs(have, want, want.Parts)
	if err != nil {
		return err
	}
	running, managed := want.Running.Get()
	active := have.Found.Active
	// Before the definition changes: stopped in between, a domain is off rather
	// than running by a definition that is no more.
	restart := restarts(have, want) && len(pending(have, want)) > 0
	if active && (managed && !running || restart) {
		if err := shutDown(ctx, h, want.Name, want.How); err != nil {
			return err
		}
		active = false
	}
	if older := inForce(want); restart && !maps.Equal(older, want.Parts) {
		if err := startBy(ctx, h, have, want, older); err != nil {
			return err
		}
		have.Found.Defined, active = "", true
	}
	if text != have.Found.Defined {
		if err := h.Libvirt.Define(ctx, host.VirtualDomain, want.Name, text); err != nil {
			return err
		}
	}
	if on, managed := want.Autostart.Get(); managed && on != have.Autostart.Or(false) {
		if err := h.Libvirt.Order(ctx, autostart(on), host.VirtualDomain, want.Name); err != nil {
			return err
		}
	}
	if running && !active {
		return start(ctx, h, want.Name)
	}
	return nil
}

// startBy starts a domain by an older definition than it is to have.
func startBy(ctx context.Context, h host.Host, have, want domainState, older parts) error {
	text, err := defineAs(have, want, older)
	if err != nil {
		return err
	}
	if err := h.Libvirt.Define(ctx, host.VirtualDomain, want.Name, text); err != nil {
		return err
	}
	return start(ctx, h, want.Name)
}

func autostart(on bool) host.VirtualVerb {
	if on {
		return host.VirtualAutostart
	}
	return host.VirtualNoAutostart
}

func removeDomain(ctx context.Context, h host.Host, have, want domainState) error {
	if !have.State.There() {
		return nil
	}
	if have.Found.Active {
		if err := shutDown(ctx, h, want.Name, want.How); err != nil {
			return err
		}
	}
	return h.Libvirt.Order(ctx, host.VirtualUndefine, host.VirtualDomain, want.Name)
}

// again is how long a guest that is just booting is given before the power
// button is pressed once more: it may not have heard.
const again = 5 * time.Second

// shutDown presses the power button until the domain is off. Where it is not in
// time, its plug is pulled if the step says so.
func shutDown(ctx context.Context, h host.Host, name string, w how) error {
	if err := h.Libvirt.Order(ctx, host.VirtualShutdown, host.VirtualDomain, name); err != nil {
		return err
	}
	pressed := time.Now()
	err := step.Await(ctx, w.Timeout, func() error {
		d, err := h.Libvirt.Virtual(ctx, host.VirtualDomain, name)
		if err != nil || !d.Active {
			return err
		}
		if time.Since(pressed) > again {
			pressed = time.Now()
			// It may have gone down just now; the next look tells.
			_ = h.Libvirt.Order(ctx, host.VirtualShutdown, host.VirtualDomain, name)
		}
		return fmt.Errorf("domain %s did not shut down within %s: see to its guest, or set force = true to pull its plug", name, w.Timeout)
	})
	if err != nil && w.Force && ctx.Err() == nil {
		return h.Libvirt.Order(ctx, host.VirtualDestroy, host.VirtualDomain, name)
	}
	return err
}

// defineAs is the definition to have: of a state to go back to the one that was
// found, else the one that is there, or a new one; each with the parts that are
// wanted.
func defineAs(have, want domainState, p parts) (string, error) {
	current := &xmltree.Node{Name: "domain"}
	var err error
	if have.Found.Defined != "" {
		if current, err = xmltree.Parse(have.Found.Defined); err != nil {
			return "", err
		}
	}
	skeleton := &xmltree.Node{Name: "domain"}
	if want.Skeleton != "" {
		if skeleton, err = xmltree.Parse(want.Skeleton); err != nil {
			return "", err
		}
	}
	base := current
	if want.Found != nil && want.Found.Defined != "" {
		if base, err = xmltree.Parse(want.Found.Defined); err != nil {
			return "", err
		}
		keepDevices(base, current, skeleton)
	}
	if len(p) > 0 {
		impose(base, skeleton, p)
	}
	if equal(base, have.Found.Defined) {
		return have.Found.Defined, nil
	}
	return base.String(), nil
}

// equal says whether a definition means the same as another's text.
func equal(n *xmltree.Node, text string) bool {
	other, err := xmltree.Parse(text)
	return err == nil && n.String() == other.String()
}

// keepDevices carries what another hand plugged in since into a definition that
// is to come back.
func keepDevices(back, current, ours *xmltree.Node) {
	for _, name := range []string{"disk", "interface", "hostdev", "filesystem", "channel"} {
		for _, device := range current.At("devices").All(name) {
			k := key(device)
			if k != "" && withKey(back, name, k) == nil && withKey(ours, name, k) == nil {
				insert(back.Child("devices"), device.Clone())
			}
		}
	}
}

// withKey is the device of a definition that has a key.
func withKey(n *xmltree.Node, name, k string) *xmltree.Node {
	for _, device := range n.At("devices").All(name) {
		if key(device) == k {
			return device
		}
	}
	return nil
}
