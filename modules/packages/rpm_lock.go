package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"weft/engine/host"
)

// lockList is the list of the plugin versionlock (dnf-versionlock(8),
// yum-versionlock(1)): a pattern a line. A file does for it, so nothing is spawned
// to read it, and what dnf versionlock list shows is what weft wrote.
type lockList struct {
	tool string
	path string // empty where the plugin is not there or not enabled
	text string
	file bool // whether there is a file
}

// readLocks reads the plugin's configuration and its list.
func readLocks(ctx context.Context, v host.View, tool string) (lockList, error) {
	l := lockList{tool: tool}
	conf := "/etc/dnf/plugins/versionlock.conf"
	if tool == yum {
		conf = "/etc/yum/pluginconf.d/versionlock.conf"
	}
	text, err := v.Files.Read(ctx, conf)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	enabled, list := "", ""
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, "=")
		switch value = strings.TrimSpace(value); strings.TrimSpace(name) {
		case "enabled":
			enabled = strings.ToLower(value)
		case "locklist":
			list = value
		}
	}
	if !slices.Contains([]string{"1", "true", "yes", "on"}, enabled) || !path.IsAbs(list) {
		return l, nil
	}
	l.path = list
	text, err = v.Files.Read(ctx, list)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	l.text, l.file = string(text), err == nil
	return l, err
}

// lockedPackage reads a line of the list: NAME-EPOCH:VERSION-RELEASE.ARCH of dnf,
// EPOCH:NAME-VERSION-RELEASE.ARCH of yum. The version may be a pattern. A line that
// excludes ("!NAME…") or has no version locks nothing.
func lockedPackage(line string) (key, evr string, ok bool) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' || line[0] == '!' {
		return "", "", false
	}
	rest, arch, _ := cutArch(line)
	first, after, hasEpoch := strings.Cut(rest, ":")
	if hasEpoch && strings.Trim(first, "0123456789") == "" {
		name, vr, ok := cutVersion(after)
		return keyOf(name, arch), first + ":" + vr, ok
	}
	name, evr, ok := cutVersion(rest)
	return keyOf(name, arch), evr, ok
}

// holds says whether a line of the list locks a package to a version that it has.
func (l lockList) holds(key string, p rpmPackage) bool {
	for line := range strings.Lines(l.text) {
		locked, pattern, ok := lockedPackage(line)
		if !ok || !sameLock(locked, key) {
			continue
		}
		for _, evr := range p.Versions {
			if strings.Contains(pattern, ":") && !strings.Contains(evr, ":") {
				evr = "0:" + evr
			} else if _, vr, ok := strings.Cut(evr, ":"); ok && !strings.Contains(pattern, ":") {
				evr = vr
			}
			if match, err := path.Match(pattern, evr); err == nil && match {
				return true
			}
		}
	}
	return false
}

// sameLock: a line whose architecture is "*" locks a package of any.
func sameLock(locked, key string) bool {
	name, _, foreign := cutArch(key)
	return locked == key || foreign && locked == name
}

// without is the list without the lines that lock one of keys.
func (l lockList) without(keys []string) string {
	var b strings.Builder
	for line := range strings.Lines(l.text) {
		locked, _, ok := lockedPackage(line)
		if ok && slices.ContainsFunc(keys, func(key string) bool { return sameLock(locked, key) }) {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// only are the lines of the list that lock one of keys.
func (l lockList) only(keys []string) string {
	var b strings.Builder
	for line := range strings.Lines(l.text) {
		locked, _, ok := lockedPackage(line)
		if ok && slices.ContainsFunc(keys, func(key string) bool { return sameLock(locked, key) }) {
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return b.String()
}

// past are the options of a call that is told to change packages which the list locks:
// a lock says what an upgrade leaves alone, not what weft was told to do. The plugin
// knows all locks or none, so the packages that other lines lock are left out by name.
// Where no line locks one of keys, it stays on.
func (l lockList) past(keys []string, t rpmTable) []string {
	if l.only(keys) == "" {
		return nil
	}
	options := []string{"--disableplugin=versionlock"}
	for key := range t {
		if !slices.ContainsFunc(keys, func(k string) bool { return sameLock(k, key) }) && l.only([]string{key}) != "" {
			options = append(options, "--exclude="+key)
		}
	}
	slices.Sort(options)
	return options
}

// line locks a package to the version that it has.
func (l lockList) line(key string, p rpmPackage) string {
	name, _, _ := cutArch(key)
	epoch, vr, ok := strings.Cut(p.Versions[len(p.Versions)-1], ":")
	if !ok {
		epoch, vr = "0", p.Versions[len(p.Versions)-1]
	}
	if l.tool == yum {
		return epoch + ":" + name + "-" + vr + ".*\n"
	}
	return name + "-" + epoch + ":" + vr + ".*\n"
}

// write replaces the list. An empty one goes where there was none.
func (l lockList) write(ctx context.Context, h host.Host, text string, file bool) error {
	if text == l.text && file == l.file {
		return nil
	}
	if !file && text == "" {
		return h.Files.Remove(ctx, l.path)
	}
	return h.Files.Write(ctx, l.path, []byte(text), host.Attributes{})
}

// absence says what to do where there is no plugin. An earlier step may bring it.
func (l lockList) absence() error {
	plugin := "python3-dnf-plugin-versionlock"
	if l.tool == yum {
		plugin = "yum-plugin-versionlock"
	}
	return fmt.Errorf("hold needs the plugin versionlock of %s, enabled: install %s first: %w", l.tool, plugin, host.ErrNotReady)
}
