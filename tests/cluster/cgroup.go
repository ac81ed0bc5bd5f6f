package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const cgroupPrefix = "sbrun-test-"

var cgroupMount = "/sys/fs/cgroup"

// hierarchies are the directories below which a control group is one folder: one for each v1
// controller, or the one of v2.
func hierarchies() (dirs []string, v2 bool) {
	if _, err := os.Stat(cgroupMount + "/cgroup.controllers"); err == nil {
		return []string{cgroupMount}, true
	}
	for _, controller := range []string{"cpu", "cpuacct", "cpu,cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "systemd", "unified"} {
		dir := filepath.Join(cgroupMount, controller)
		// A link, as cpu -> cpu,cpuacct, would be the same hierarchy once more.
		if info, err := os.Lstat(dir); err == nil && info.IsDir() {
			dirs = append(dirs, dir)
		}
	}
	return dirs, false
}

// makeCgroup makes the group "/a/b" in each hierarchy, with every controller it can have.
func makeCgroup(group string) error {
	dirs, v2 := hierarchies()
	for _, base := range dirs {
		dir := base
		for _, part := range strings.Split(strings.Trim(group, "/"), "/") {
			if v2 {
				if err := delegate(dir); err != nil {
					return err
				}
			}
			parent := dir
			dir = filepath.Join(dir, part)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			if filepath.Base(base) != "cpuset" {
				continue
			}
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // v1: a new cpuset has none of either
				if content, err := os.ReadFile(filepath.Join(parent, file)); err == nil {
					_ = os.WriteFile(filepath.Join(dir, file), content, 0o644)
				}
			}
		}
		if v2 {
			if err := delegate(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// delegate lets the children of a v2 group have every controller that the group has.
func delegate(dir string) error {
	raw, err := os.ReadFile(dir + "/cgroup.controllers")
	if err != nil {
		return err
	}
	enable := func() error {
		var text []string
		for _, controller := range strings.Fields(string(raw)) {
			text = append(text, "+"+controller)
		}
		return os.WriteFile(dir+"/cgroup.subtree_control", []byte(strings.Join(text, " ")), 0o644)
	}
	if err := enable(); err == nil {
		return nil
	}
	// In a container, whose top group is not the machine's, a group with processes may have no children
	// with controllers: they move to a group of their own.
	leaf := filepath.Join(dir, "processes")
	if err := os.MkdirAll(leaf, 0o755); err != nil {
		return err
	}
	processes, err := os.ReadFile(dir + "/cgroup.procs")
	if err != nil {
		return err
	}
	for _, process := range strings.Fields(string(processes)) {
		_ = os.WriteFile(leaf+"/cgroup.procs", []byte(process), 0o644)
	}
	if err := enable(); err != nil {
		return fmt.Errorf("cgroup v2 controllers cannot be handed down in %s: %w", dir, err)
	}
	return nil
}

// removeCgroup removes a group with all below it, once its processes are gone.
func removeCgroup(group string, patience time.Duration) error {
	dirs, _ := hierarchies()
	var left error
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		left = nil
		for _, base := range dirs {
			left = errors.Join(left, removeTree(filepath.Join(base, group)))
		}
		if left == nil || time.Now().After(end) {
			return left
		}
	}
}

func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sweepCgroups removes groups whose tier is gone and whose janitor was killed too.
func sweepCgroups() {
	dirs, _ := hierarchies()
	for _, base := range dirs {
		groups, _ := filepath.Glob(filepath.Join(base, cgroupPrefix+"*"))
		for _, group := range groups {
			pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(group), cgroupPrefix))
			if err != nil {
				continue
			}
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); errors.Is(err, fs.ErrNotExist) {
				_ = removeTree(group) // fails, as it should, while a process is in it
			}
		}
	}
}
